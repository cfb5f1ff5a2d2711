"""What the outside world would be: a webhook receiver, and a shop and seller that use the API."""
