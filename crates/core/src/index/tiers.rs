//! When neighbouring files of different sizes are worth merging.

/// So many neighbours of one size are merged.
const FAN_OUT: usize = 4;

/// Where the files begin that are merged next: the longest row at the end of those that are of one
/// size or smaller, if there are several of that size. What is no larger than `smallest` is of one
/// size; each further size is four times the one before. So there are at most three files of each,
/// and each row is rewritten about once a size.
pub(crate) fn due(sizes: &[usize], smallest: usize) -> Option<usize> {
    let tier = |size: &usize| (size / smallest).checked_ilog(FAN_OUT).map_or(0, |tier| tier + 1);
    let largest = sizes.iter().map(tier).max()?;
    (0..=largest).find_map(|limit| {
        let small = sizes.iter().rev().take_while(|size| tier(size) <= limit);
        let (rows, of_this_size) = small
            .fold((0, 0), |(all, same), size| (all + 1, same + usize::from(tier(size) == limit)));
        (of_this_size >= FAN_OUT).then(|| sizes.len() - rows)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_few_files_and_each_is_rewritten_seldom() {
        let (mut files, mut rewritten, mut most) = (Vec::new(), 0, 0);
        for _ in 0..4096 {
            files.push(100);
            while let Some(start) = due(&files, 100) {
                let merged: usize = files.drain(start..).sum();
                rewritten += merged;
                files.push(merged);
            }
            most = most.max(files.len());
        }
        assert_eq!(files.iter().sum::<usize>(), 409_600);
        assert!(most <= 21, "{most} files");
        assert!(rewritten <= 7 * 409_600, "{rewritten} rows for 409,600");
    }
}
