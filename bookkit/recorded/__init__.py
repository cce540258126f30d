"""Tables and figures drawn from ``results/``: a module for each page that shows them."""
