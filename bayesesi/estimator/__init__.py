"""From the tokens of a backbone to a distribution, one family a file."""
