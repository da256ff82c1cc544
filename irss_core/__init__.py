"""IRSS, the Image Resolution Scaling Service: super-resolution of pictures and clips, compared side by side."""

__version__ = "0.1.0"
