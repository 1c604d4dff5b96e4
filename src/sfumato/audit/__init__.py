"""What else is wrong with a data set or with what was done to it: for now, who is missed."""
