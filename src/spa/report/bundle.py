"""The JavaScript that draws the charts: Vega, Vega-Lite and Vega-Embed, from vl-convert-python.

The package carries them, so nothing is fetched. Making one script of them takes about two seconds.
"""

from __future__ import annotations

import functools

__all__ = ["vega_bundle"]

_SNIPPET = "window.vegaEmbed = vegaEmbed;"


@functools.cache
def vega_bundle() -> str:
    """A script that sets ``window.vegaEmbed``, and no other name."""
    import vl_convert

    bundle: str = vl_convert.javascript_bundle(_SNIPPET)
    # Inside of a string or a pattern of JavaScript the two are the same; HTML sees no end of it.
    inert = bundle.replace("</script", "<\\/script").replace("<!--", "<\\!--")
    return f"(() => {{\n{inert}\n}})();"
