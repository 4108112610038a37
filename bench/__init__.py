"""What an event costs, with htrun and with its rivals, measured in one run: ``python -m bench --help``.

Imports point downwards: ``__main__`` > ``cases`` > ``workshop`` > ``model``, and ``__main__`` > ``runner``, ``report``
> ``results`` > ``statistics``.
"""
