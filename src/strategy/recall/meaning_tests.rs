use super::*;

#[test]
fn a_standard_score_is_how_many_deviations_a_value_is_above_the_mean() {
    assert_eq!(standard(&[10, 10, 10, 30]), [-2364, -2364, -2364, 7094], "-0.58 and 1.73");
    assert_eq!(standard(&[5, 5, 5]), [0, 0, 0]);
    assert_eq!(standard(&[]), [0; 0]);
    assert_eq!(standard(&[0, MOST]), [-4096, 4096]);
}

#[test]
fn neighbours_share_in_what_is_near() {
    assert_eq!(smoothed(&[0, 0, 8, 0, 0, 0]), [8, 16, 32, 16, 8, 0]);
    assert_eq!(centered(&[Some(1), None, Some(3)]), [-1, 0, 1]);
}
