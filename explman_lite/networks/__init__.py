"""The networks that are explained: trained, prepared, smoothed."""
