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
    "the other tabs, for you alone and for this visit.</p>"
)

BENCH_INTRO = """
<section class="irss-intro">
  <h2>What you will see</h2>
  <p>Numbers instead of impressions: which model comes nearest to the truth, on pictures and clips whose truth is known,
  measured the way published tables are.</p>
  <ol class="irss-how">
    <li>A small built-in set is ready. Or give pictures, clips, or a zip of a data set of your own.</li>
    <li>Choose models. A checkpoint of your own that you loaded in the Models tab stands in the list, too.</li>
    <li>The table fills while they are measured. At the end you have a report to open, to publish or to send on.</li>
  </ol>
  <p class="irss-quiet">No number replaces a look: models that invent convincing detail lose to blurry ones in PSNR and
  SSIM. Below, under "What people preferred", stands what eyes say.</p>
</section>
"""
BENCH_SET_HINT = (
    "What you give counts as the truth. It is made four times smaller, each model enlarges it again, and the result is "
    "compared with what you gave. A zip may bring the small pictures itself: folders HR and LR."
)
BENCH_BUILT_IN = "Four photographs (256 x 256) and a clip of 12 frames (256 x 192), drawn from scikit-image's pictures"
BENCH_BUILT_IN_CLIP = (
    "A clip of 12 frames (256 x 192), drawn from scikit-image's pictures; the photographs are left out"
)
BENCH_LEGEND = "↑ more is better, ↓ less is better; the best of a column is bold."
BENCH_PARTLY = "Over a part of the frames only, so not compared for the best."
BENCH_MISSING = (
    "Empty columns with a number: LPIPS and its relatives compare pictures as a trained network sees them, and that "
    "network is not on this server."
)
BENCH_PROBLEMS = "Not everything could be measured:"
BENCH_FALLBACKS = "Measured otherwise than planned:"
BENCH_FILES = "The report is one page that holds everything, pictures included; the other two are for programs."

RUN_OR_QUEUE = (
    "You can run it now if you keep this page open. Or hand it to the queue, which works on without you and mails the "
    "result."
)
RUN_NOW = "You can run it now if you keep this page open."

ADDRESS_HINT = (
    "The results are mailed there. A code shows that the address is yours; then this browser remembers it for 30 days."
)
CODE_HINT = "Nothing there after a minute? Look into the spam folder, or have another one sent."
CODE_IN_OUTBOX = (
    'This machine has no mail server: the letter with the code is in the <a href="#irss-letters">outbox on this '
    "page</a>."
)
HANDED_OVER = "From the {place} tab: {name}. Check the task below, and hand it in."
TWO_MODELS = "Two models make two submissions of the same files, and two mails."

MODEL_DENOISE = "For the model that takes it: 0 keeps the grain, 1 smooths it."
STEP_DENOISE = "Takes out single wrong pixels before anything else (a median over 3 x 3 pixels)."
STEP_AUTOCONTRAST = "Makes the darkest pixel black and the brightest white, before anything else."
STEP_SHARPEN = "How strongly edges are lifted at the end: 0 leaves them, 1 is a lot."
STEP_CONTRAST = "1 leaves it, less is flatter, more is harder."
STEP_GREYSCALE = "Takes the colours out at the end."
STEP_WIDTH = "Of the result, up to 16,384; the height follows. 0: as it comes out."
STEP_MAX_BYTES = "The result is compressed until it fits. For JPEG and WebP only. 0: no limit."
STEP_QUALITY = "Higher looks better and takes more room."

VOTE_OFFER = "See both results once more, without their names, and say which you like better."
VOTE_HOW = (
    "The names are hidden, and which result stands left was drawn by lot. Move the line, zoom in, take your time."
)
NO_VOTES = (
    "No votes yet. Run a comparison in the Image or Clip tab, press Vote blind below the result, and say which side is "
    "better: the scores appear here."
)
RATINGS_INTRO = (
    "Scores from blind votes (Bradley-Terry model, a tie counting as half a win for each side), on the scale of chess "
    "ratings: 1500 is the average, and 100 points more mean being preferred in about 64 of 100 votes. The more votes, "
    "the narrower the interval; where intervals overlap widely, nothing is decided yet."
)
OTHER_GROUP = (
    "No vote connects the following models with those above, directly or through others: these scores compare among "
    "themselves only."
)
MATRIX_CAPTION = "Won : lost of the row's model against the column's; in brackets, how often no difference was seen"


def vote_stores(noun: str) -> str:
    """Return what a vote stores, for the visitor to know; ``noun`` is picture or clip."""
    return (
        "Stored on this server: your answer, the two models, the enlargement, the hour, and a fingerprint of the "
        f"{noun} that tells it from others. Not the {noun} itself, not its name, nothing about you."
    )


def queue_intro(*, keep_inputs_days: float, keep_results_days: float) -> str:
    """Return what the queue is for, and how long it keeps what it was given and what it made of it."""
    return f"""
<section class="irss-intro">
  <h2>Hand it in, close the page, get a mail</h2>
  <p>For what takes long: a very large picture, a clip, or hundreds of files at once.</p>
  <ol class="irss-how">
    <li>Drop pictures, clips or a zip, and say what is to be done with them.</li>
    <li>Give an e-mail address and type the code that is mailed to it. This browser remembers it for 30 days.</li>
    <li>Press <strong>Hand in</strong>. You may close the page: one mail comes when everything is done, with the
    results or a link to them, and the reason for each file that did not come through.</li>
  </ol>
  <p class="irss-quiet">Files handed in are deleted {keep_inputs_days:g} days after they are done, results after
  {keep_results_days:g} days, or as soon as you say so.</p>
</section>
"""
