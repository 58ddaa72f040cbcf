"""The bridge to skorch: parameters, reading, training and inference of an estimator's net."""
