"""What the training command is made of: its options, what they come to, what it says."""
