"""The charts of a report as Vega-Lite specifications with their data, one chart a module.

They are plain values: nothing here draws. Fields have fixed names, and names of strangers are data,
never fields, as Vega-Lite would read dots and brackets in them.
"""
