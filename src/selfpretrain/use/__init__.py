"""A trained model at work: predictions for a file, and how good they are where its rows have labels."""
