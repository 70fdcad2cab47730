"""The sections of a page, one a file: what each takes from a reading; omitted if there is none.

The function of a section has the name of its file and returns the values that its template of the
same name fills in, see ``spec.section``.
"""
