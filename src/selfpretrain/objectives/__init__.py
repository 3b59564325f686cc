"""What a training minimises: the label's loss, the loss of filling in what is masked, or both."""
