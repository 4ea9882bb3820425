"""``manet doctor``: findings, software and weights, tests of the devices."""
