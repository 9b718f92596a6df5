"""Programs in any language: the protocol, the processes that speak it, and the trial of a new one.

protocol   a request, and what an answer may be
process    a program that is started once and answers until its input ends
one_shot   a program that is started for every pass, with files
cases      requests that went wrong, kept for their author
trials     what a program does wrong, found out by trying (``convcheck protocol-check``)
"""
