"""The claim modulus."""
