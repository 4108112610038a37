"""What an event costs, with htrun and with its rivals, measured in one run: ``python -m bench --help``.

Imports point downwards: ``__main__`` > ``cases`` > ``groups`` > ``model`` > ``workshop`` > ``outcome`` for what is
measured, and ``__main__`` > ``tables``, ``plot``, ``readme`` > ``results`` > ``model`` for what is reported.
"""
