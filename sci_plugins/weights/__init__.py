#: Comes with the package, so that nothing has to be fetched.
DEFAULT_ENHANCER = 'sci/sci_plugins/lol'
