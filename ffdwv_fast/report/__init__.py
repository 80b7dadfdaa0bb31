"""One page on one or several runs: what was learned, how well, at what cost, and where it fails."""
