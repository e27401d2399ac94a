"""Fuzzing of everything that reads bytes from outside: `python -m tests.fuzz`, `make fuzz`.

A target is one file in `targets/`: a name, seeds, and what takes bytes and may raise typed errors only. It runs in a process of
its own, driven by atheris (libFuzzer, guided by coverage) where that is installed, else by hypothesis' mutations of the corpus.
"""
