"""The first page of the back office: whether all is well, in panels by business.

`folds` says what is counted by the hour, `hours` keeps that, `panels` read and judge, `page` shows them.
"""
