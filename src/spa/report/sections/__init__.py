"""The sections of a report: what each shows of the runs, and why where it has nothing to show."""
