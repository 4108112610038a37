"""Measures the cost of an event, with htrun and with its rivals, in one run: ``python -m bench --help``.

Imports point downwards: ``__main__`` > ``cases`` > ``groups`` > ``model`` > ``workshop`` > ``outcome`` for
measurements, and ``__main__`` > ``tables``, ``plot``, ``documents`` > ``results`` > ``model`` for reports.
"""
