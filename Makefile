.PHONY: demo test
demo:
	@echo todo
