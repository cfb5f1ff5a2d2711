"""Other people's programs for the same work, measured in the same minute."""
