from flax_transformer.data.batches import pipeline

training_pipeline = pipeline.training_pipeline
