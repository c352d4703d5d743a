//! The pixels of a view.

use super::Annotated;
use super::augment::View;
use super::resample::Resampler;
use crate::Normalize;

/// The weights of red, green and blue in the luminance of ITU-R BT.601, by which contrast and saturation are changed.
const LUMA: [f32; 3] = [0.299, 0.587, 0.114];

impl View {
    /// Writes what is seen of a picture to a canvas of shape `[C, H, W]`, normalised, at the top left and 0 elsewhere.
    pub fn render(
        &self,
        picture: &Annotated,
        normalize: &Normalize,
        [canvas_height, canvas_width]: [usize; 2],
        canvas: &mut [f32],
    ) {
        let [_, picture_height, picture_width] = picture.shape;
        let [height, width] = self.size;
        let mut seen = vec![0.0; picture.shape[0] * height * width];
        let mut resampler = Resampler::new(self.crop.clone(), self.size);
        let planes = picture.pixels.chunks_exact(picture_height * picture_width);
        for (plane, seen) in planes.zip(seen.chunks_exact_mut(height * width)) {
            resampler.plane(plane, picture_width, seen);
        }
        self.recolour(&mut seen);

        canvas.fill(0.0);
        let canvases = canvas.chunks_exact_mut(canvas_height * canvas_width);
        let statistics = normalize.mean.iter().zip(&normalize.std);
        for ((seen, canvas), (mean, std)) in
            seen.chunks_exact(height * width).zip(canvases).zip(statistics)
        {
            for (y, row) in canvas.chunks_exact_mut(canvas_width).take(height).enumerate() {
                let source = if self.flip_vertical { height - 1 - y } else { y };
                let row = &mut row[..width];
                for (out, &byte) in row.iter_mut().zip(&seen[source * width..][..width]) {
                    *out = (byte / 255.0 - mean) / std;
                }
                if self.flip {
                    row.reverse();
                }
            }
        }
    }

    /// Brightness, then contrast, then saturation, each kept within the range of a byte. Shape: `[C, H, W]`.
    fn recolour(&self, seen: &mut [f32]) {
        let [brightness, contrast, saturation] = self.colour;
        if brightness != 1.0 {
            seen.iter_mut().for_each(|value| *value = (*value * brightness).clamp(0.0, 255.0));
        }
        if contrast != 1.0 {
            let grey = self.grey(seen);
            let mean = grey.iter().map(|&grey| f64::from(grey)).sum::<f64>() / grey.len() as f64;
            let mean = mean as f32;
            for value in seen.iter_mut() {
                *value = (mean + (*value - mean) * contrast).clamp(0.0, 255.0);
            }
        }
        if saturation != 1.0 {
            let grey = self.grey(seen);
            for plane in seen.chunks_exact_mut(grey.len()) {
                for (value, grey) in plane.iter_mut().zip(&grey) {
                    *value = (grey + (*value - grey) * saturation).clamp(0.0, 255.0);
                }
            }
        }
    }

    /// The luminance of each pixel; of other than three channels, the first.
    fn grey(&self, seen: &[f32]) -> Vec<f32> {
        let plane = self.size[0] * self.size[1];
        if seen.len() != 3 * plane {
            return seen[..plane].to_vec();
        }
        let [red, green, blue] = [0, 1, 2].map(|c| &seen[c * plane..][..plane]);
        red.iter()
            .zip(green)
            .zip(blue)
            .map(|((r, g), b)| LUMA[0] * r + LUMA[1] * g + LUMA[2] * b)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(channels: usize, pixels: &[u8]) -> Annotated {
        let shape = [channels, 2, pixels.len() / channels / 2];
        let name = "a".to_string();
        let (id, pixels) = (0.into(), pixels.to_vec());
        let (objects, truth) = (Vec::new(), Vec::new());
        Annotated { id, name, original: [2, 3], shape, pixels, objects, truth }
    }

    /// Rendered on a canvas of 3 × 4, in the units of bytes.
    fn seen(picture: &Annotated, change: impl FnOnce(&mut View)) -> Vec<f32> {
        let [channels, height, width] = picture.shape;
        let mut view = View::plain([height, width], [height, width]);
        change(&mut view);
        let normalize = Normalize { mean: vec![0.0; channels], std: vec![1.0; channels] };
        let mut canvas = vec![f32::NAN; channels * 12];
        view.render(picture, &normalize, [3, 4], &mut canvas);
        canvas.into_iter().map(|value| (value * 2550.0).round() / 10.0).collect()
    }

    #[test]
    fn a_picture_lies_at_the_top_left_reflected_within_its_own_size() {
        let picture = picture(1, &[1, 2, 3, 4, 5, 6]);
        let plain = [1.0, 2.0, 3.0, 0.0, 4.0, 5.0, 6.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        assert_eq!(seen(&picture, |_| ()), plain);
        let both = |view: &mut View| (view.flip, view.flip_vertical) = (true, true);
        let expected = [6.0, 5.0, 4.0, 0.0, 3.0, 2.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        assert_eq!(seen(&picture, both), expected);
        let part = |view: &mut View| (view.crop, view.size) = ([1..2, 1..3], [1, 2]);
        assert_eq!(seen(&picture, part)[..4], [5.0, 6.0, 0.0, 0.0]);
    }

    #[test]
    fn colours_change_about_black_the_mean_and_grey() {
        let grey = picture(1, &[100, 200, 100, 200]);
        let colour = |colour| move |view: &mut View| view.colour = colour;
        assert_eq!(seen(&grey, colour([1.2, 1.0, 1.0]))[..2], [120.0, 240.0]);
        assert_eq!(seen(&grey, colour([1.5, 1.0, 1.0]))[..2], [150.0, 255.0]);
        assert_eq!(seen(&grey, colour([1.0, 0.5, 0.3]))[..2], [125.0, 175.0]);

        let pure = picture(3, &[100, 100, 0, 0, 0, 0]);
        let faded = seen(&pure, colour([1.0, 1.0, 0.0]));
        assert_eq!([faded[0], faded[12], faded[24]], [29.9; 3]);
    }
}
