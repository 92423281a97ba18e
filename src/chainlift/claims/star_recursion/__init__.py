"""The claim star-recursion."""
