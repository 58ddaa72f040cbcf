"""Networks, batches and input layouts: nothing here knows an estimator."""
