// Never compiled: the loop is tested against a double.
