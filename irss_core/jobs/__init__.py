"""Jobs: large and batch work that is handed off, done once, and mailed once."""
