"""Recording exchanges with AWS, and replaying them."""
