"""What the terminal shows, and the report."""
