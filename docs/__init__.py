"""What is written about the service; not installed, and imported by nothing that runs it."""
