"""Every speed claim of Covey, each measured with its peers in the same run: `python -m benchmarks --list`."""
