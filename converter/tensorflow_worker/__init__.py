"""The only code that imports TensorFlow and Keras; runs in a process of its own.

A process of its own keeps TensorFlow's output off the user's screen, lets Keras 2 files load
under settings that Keras 3 files must not see, and gives the memory back at the end.
"""
