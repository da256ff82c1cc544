"""The longer texts of the page, for people who have never heard of either model."""

from __future__ import annotations

TITLE = "IRSS · ESRGAN beside TecoGAN, on your own pictures"
TAGLINE = "See what ESRGAN and TecoGAN each make of your picture or clip, side by side."

HEADER = f"""
<header class="irss-header">
  <h1>IRSS</h1>
  <p>{TAGLINE}</p>
</header>
"""

IMAGE_INTRO = """
<section class="irss-intro">
  <h2>What you will see</h2>
  <p>Both programs make a picture four times as wide and high. They fill in what the camera did not record,
  and they do it differently.</p>
  <div class="irss-cards">
    <article class="irss-card irss-card-a">
      <h3>Real-ESRGAN</h3>
      <p>Made for photographs. It removes noise and JPEG marks and invents crisp, plausible detail: hair, leaves, print.
      What it invents can be wrong, most of all in small faces and letters.</p>
    </article>
    <article class="irss-card irss-card-b">
      <h3>TecoGAN</h3>
      <p>Made for video. It carries detail along with the motion, so that a clip does not flicker. A single picture it
      treats as a clip that stands still, and stays closer to what is really there.</p>
    </article>
  </div>
  <ol class="irss-how">
    <li>An example is open already. Take another, or drop a picture of your own.</li>
    <li>Move the square to a place worth a look and press <strong>Try a region first</strong>.
    A few seconds later you have a slider over both results.</li>
    <li>The page then knows how long the whole picture will take here, and you decide.</li>
  </ol>
  <p class="irss-quiet">Your pictures stay on this server only as long as you use them; nobody else can see them.</p>
</section>
"""

CLIP_INTRO = """
<section class="irss-intro">
  <h2>What you will see</h2>
  <p>Both programs make every frame four times as wide and high. In a clip the difference is in the motion.</p>
  <div class="irss-cards">
    <article class="irss-card irss-card-a">
      <h3>Real-ESRGAN</h3>
      <p>Treats every frame as a picture of its own. Each is crisp, but what it invents changes a little from frame to
      frame: fine texture may shimmer.</p>
    </article>
    <article class="irss-card irss-card-b">
      <h3>TecoGAN</h3>
      <p>Looks at the frame before and at how things moved, and carries its detail along. Texture stays put.</p>
    </article>
  </div>
  <ol class="irss-how">
    <li>Choose a clip: yours (a GIF will do), or the example.</li>
    <li>Press <strong>Try a part first</strong>: a second or two is enough to see the difference.</li>
    <li>Both results play in step under one movable line. Below, one row of pixels over time shows flicker
    as ragged streaks.</li>
  </ol>
  <p class="irss-quiet">Your clips stay on this server only as long as you use them; nobody else can see them.</p>
</section>
"""

TRUTH_INTRO = (
    '<p class="irss-quiet">If your picture is a reduced copy, give its original here: the page then measures how near '
    "each result comes (PSNR and SSIM, higher is nearer). It must have exactly the size of the result.</p>"
)

MODELS_INTRO = (
    '<p class="irss-lead">Every model the page knows. A model whose weights are not here yet is fetched at its first '
    "use, checked against its SHA-256, and kept.</p>"
)

CHECKPOINT_INTRO = (
    '<p class="irss-quiet">An ESRGAN or Real-ESRGAN network (RRDBNet, SRVGGNetCompact) or a TecoGAN generator (FRNet), '
    "as .pth or .safetensors. Its architecture, size and scale are read off the file. It then stands in the lists of "
    "both tabs, for you alone and for this visit.</p>"
)

QUEUE_LATER = (
    "You can run it now if you keep this page open. A queue that works on without you and mails the result comes later."
)
