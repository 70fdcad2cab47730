"""What each estimator is asked in training, one family a file."""
