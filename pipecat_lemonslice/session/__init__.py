"""The avatar's session at LemonSlice: created, joined, watched, terminated, and replaced when it is lost.

Owns everything that costs; refuses to know pipelines, frames and what is said.
"""
