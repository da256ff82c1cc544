"""The ports on one machine: SQLite, the file system, SMTP."""
