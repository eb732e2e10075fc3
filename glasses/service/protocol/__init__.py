"""What client and service say to each other: requests, events and their bytes. Needs numpy and msgspec only."""
