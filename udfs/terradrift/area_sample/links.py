"""Web pages where a person sees a place as it is and as it was."""

from __future__ import annotations


def links(lon: float, lat: float, first: int, last: int) -> dict[str, str]:
    """Columns of links of one place; the Copernicus Browser opens with the images of the first and the last year."""
    browser = (
        f"https://browser.dataspace.copernicus.eu/?zoom=16&lat={lat:.6f}&lng={lon:.6f}&themeId=DEFAULT-THEME"
        "&datasetId=S2_L2A_CDAS&layerId=1_TRUE_COLOR&cloudCoverage=30"
    )
    return {
        "link_wayback": f"https://livingatlas.arcgis.com/wayback/#mapCenter={lon:.6f}%2C{lat:.6f}%2C18&mode=explore",
        "link_google_maps": f"https://www.google.com/maps/@?api=1&map_action=map&center={lat:.6f}%2C{lon:.6f}"
        "&zoom=19&basemap=satellite",
        "link_google_earth": f"https://earth.google.com/web/@{lat:.6f},{lon:.6f},0a,800d,35y,0h,0t,0r",
        "link_copernicus_first": f"{browser}&fromTime={first}-01-01T00%3A00%3A00.000Z&toTime={first}-12-31T23%3A59%3A59.999Z",
        "link_copernicus_last": f"{browser}&fromTime={last}-01-01T00%3A00%3A00.000Z&toTime={last}-12-31T23%3A59%3A59.999Z",
    }
