"""The web page: one module a tab, and the plain parts below them.

``layout`` assembles the page from ``image_tab``, ``clip_tab``, ``queue_tab``, ``bench_tab``, ``models_tab`` and
``endpoints``; these stand on ``stills``, ``clips`` and ``benches`` (what is computed), ``handoff`` and ``job_list``
(what is handed to the queue, and what became of it), ``running`` (in which order, with progress), ``sessions`` (for
whom, in which folder) and ``rendering`` (how it looks). Of the parts only ``events``, ``model_pair``, ``vote_panel``,
``queue_options``, ``sign_in_panel`` and ``jobs_panel`` know gradio.
"""
