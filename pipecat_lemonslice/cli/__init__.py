"""The command line: one module for each command.

It is a program that uses the package, so it imports the rest, and nothing imports it.
"""
