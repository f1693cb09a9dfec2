"""From patches to pixels: denoising, clustering, upsampling, the vote of each region."""
