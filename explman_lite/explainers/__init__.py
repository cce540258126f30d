"""Explainers: which pixels does the network's answer hang on?

Each is called as ``explainer(model, images, classes)`` and returns the attribution (N, C, H, W)
of the logit of each sample's class. The result is differentiable in ``images`` when those require
a gradient: that is all an attack needs, and explainers know nothing of attacks.
"""
