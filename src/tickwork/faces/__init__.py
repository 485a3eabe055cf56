"""Faces: they parse what a person or a program asks, call the service, and render what it answers."""
