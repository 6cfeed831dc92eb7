# Answered requests in percent of each tenth of a second, a panel for each topology; faults are grey bands. Called with
#   topologies = "ring central directory", from the directory of the data.
# A panel, in pixels from its top: its name, the words at the faults and the plot, the seconds below.
NAME = 30.0
PANEL = 225.0
AXIS = 30.0
set datafile separator ','
full = PANEL * words(topologies) + 35 # for the word at the last axis
set terminal svg size 960, full font 'sans-serif,13' background 'white' dynamic
set output 'availability.svg'
do for [pass = 1:2] {
    if (pass == 2) {
        set terminal pngcairo size 960, full font 'sans,10' background 'white'
        set output 'availability.png'
    }
    set multiplot
    set lmargin at screen 0.07
    set rmargin at screen 0.985
    set border 1 back
    set style fill solid 1.0 noborder
    set yrange [0:180]
    set ytics 0,50,100 nomirror
    set format y '%g %%'
    set xtics nomirror out
    unset key
    do for [i = 1:words(topologies)] {
        topology = word(topologies, i)
        set tmargin at screen 1 - (PANEL * (i - 1) + NAME) / full
        set bmargin at screen 1 - (PANEL * i - AXIS) / full
        set xrange [0:seconds * 1.05]
        if (i == words(topologies)) { set xlabel 'seconds' } else { unset xlabel }
        set label 1 topology at graph 0, graph 1.02 left font ',15'
        plot topology.'/faults.csv' using ($2 / 1000):(100):($2 / 1000):($3 / 1000):(0):(112) with boxxyerror fc rgb '#d0d0d0', \
             topology.'/steps.csv' using ($1 / 1000):2 with filledcurves y1=0 fc rgb '#1f5f8b', \
             topology.'/faults.csv' using ($2 / 1000):(122):1 with labels left rotate by 30 font ',11'
        unset label 1
    }
    unset multiplot
}
