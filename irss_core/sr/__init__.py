"""Super-resolution: models in, arrays in, arrays out. Knows nothing of jobs, files of pictures, or the web."""
